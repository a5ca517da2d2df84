"""What measures how long a request takes, and so needs a processor when it wants one."""
