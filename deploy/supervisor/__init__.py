"""What runs inside and beside Supervisor: its generated configuration and the event listener."""
