"""For those who change the project: record a refactoring, code dependencies, pictures of the documents."""
