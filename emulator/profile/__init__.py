"""Which functions of a kernel allocate: the model, its TOML reader, and the profiles that are known."""
