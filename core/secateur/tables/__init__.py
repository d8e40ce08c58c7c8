"""What is printed: tables and lines, as text, on a terminal, and in a notebook."""

from __future__ import annotations

from secateur.tables.cells import format_sparsity as format_sparsity
from secateur.tables.cells import printable as printable
from secateur.tables.cells import stay_line as stay_line
from secateur.tables.html import as_html as as_html
from secateur.tables.printed import Printed as Printed
from secateur.tables.printed import for_stdout as for_stdout
from secateur.tables.view import Column as Column
from secateur.tables.view import Lines as Lines
from secateur.tables.view import Paragraph as Paragraph
from secateur.tables.view import Table as Table
from secateur.tables.view import View as View
