"""How the service does, for those who run it: what is asked, how fast it answers, what clicks say, what went wrong."""
