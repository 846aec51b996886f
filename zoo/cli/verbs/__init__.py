"""Arguments and checks of the commands. Nothing here imports a slow library; each function imports what it needs."""
