"""What `fab` can do, one file a group of tasks; each function takes a `Command` and fills in its outcome."""
