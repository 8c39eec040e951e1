"""Teachers of a student: models and files, their targets on disk, their average."""
