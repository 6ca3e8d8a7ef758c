"""`stream init`: the files of a new project. `@NAME@` and `@MODULE@` in them are replaced."""
