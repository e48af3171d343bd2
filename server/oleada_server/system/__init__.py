"""How the server itself is: facts of every process, a pure judgement, sentences."""
