"""Language: what is generated, what is read, and the texts and tables that come in and go out."""
