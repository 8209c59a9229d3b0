"""What a network costs, how far it sees, how long it takes. Each takes any `nn.Module` or call and imports no layer.

cost                        parameters, multiply-adds, additions, bytes, layer by layer
receptive_field             in closed form, from the graph
effective_receptive_field   from gradients: where the influence really lies
measured_receptive_field    from gradients: the extent, to check the closed form
peak_memory                 bytes of the tensors that live at once
time_call, compare          medians with their spread
processor, provenance       the machine that a time was measured on
Rows                        what was measured, in a file that a broken run goes on with
Table                       rows of text under heads, for a page and a terminal
"""

from convnotes.measure.cost import Cost, LayerCost, cost
from convnotes.measure.effective import effective_receptive_field, measured_receptive_field
from convnotes.measure.memory import peak_memory
from convnotes.measure.receptive_field import ReceptiveField, receptive_field
from convnotes.measure.rows import Rows
from convnotes.measure.table import Table
from convnotes.measure.timing import Comparison, Timing, compare, processor, provenance, time_call

__all__ = [
    "Comparison",
    "Cost",
    "LayerCost",
    "ReceptiveField",
    "Rows",
    "Table",
    "Timing",
    "compare",
    "cost",
    "effective_receptive_field",
    "measured_receptive_field",
    "peak_memory",
    "processor",
    "provenance",
    "receptive_field",
    "time_call",
]
