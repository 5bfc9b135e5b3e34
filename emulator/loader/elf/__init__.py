"""The ELF32 file: headers, sections, symbols."""
