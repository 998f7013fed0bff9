"""What can be asked of the business: commands, their handlers, and the ports they need."""
