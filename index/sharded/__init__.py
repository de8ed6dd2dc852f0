"""One index in several shards: built side by side, searched together, and ranked as if it were one."""
