"""What a boot loader hands to a kernel."""
