"""Apache OpenWhisk: an action's main(args)."""
