"""Patterns: how weights are grouped, so that a group is kept or pruned as one.

``group`` turns the scores of elements into scores of groups, selection keeps some of the
groups, and ``expand`` turns their mask into a mask of the weight.
"""

from secateur.components.patterns.block import Block as Block
from secateur.components.patterns.channel import Channel as Channel
from secateur.components.patterns.n_m import NM as NM
from secateur.components.patterns.pattern import Extent as Extent
from secateur.components.patterns.pattern import FixedPattern as FixedPattern
from secateur.components.patterns.pattern import Pattern as Pattern
from secateur.components.patterns.pattern import grid_of as grid_of
from secateur.components.patterns.pattern import plane as plane
from secateur.components.patterns.pattern import tile_of as tile_of
from secateur.components.patterns.unstructured import Unstructured as Unstructured
