"""Questions and answers: QAMR as passages to read, what is learnt from them, and how answers are scored."""
