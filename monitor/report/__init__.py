"""
A report as text: words once (``document``), then Markdown or HTML; tables for sheets, and JSON.

    markdown.render    the document for people and repositories
    html.render        the same with charts, as one file without anything external
    csv.render         one table, a row per target or per day, incident, error class or gap reason
    figures.document   everything, for programs
"""
