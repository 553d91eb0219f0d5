"""The data path (worker.py) and its control (control.py): two processes that share one scoreboard."""
