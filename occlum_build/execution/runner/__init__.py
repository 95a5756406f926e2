"""The program that ninja runs for each action; standard library only, so that it starts fast."""
