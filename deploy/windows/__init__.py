"""What only a Windows host has: its firewall rules (netsh) and the Scheduled Task that starts the keeper at boot."""
