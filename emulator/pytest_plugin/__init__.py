"""What stands behind `emulator.testing`, the plugin for pytest; imported when a project uses it."""
