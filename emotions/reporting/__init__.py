"""The report: figures, sentences in two languages, Markdown and HTML."""
