"""The folder that becomes a Space, and the rules that it must keep."""
