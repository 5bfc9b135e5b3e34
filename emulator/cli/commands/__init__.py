"""The commands of `kmemu`, a module each: options are checked, data is made or read, a reporter is called."""
