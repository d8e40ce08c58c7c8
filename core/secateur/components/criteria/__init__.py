"""Criteria: a score per weight, higher = keep."""

from secateur.components.criteria.criterion import Criterion as Criterion
from secateur.components.criteria.fisher import Fisher as Fisher
from secateur.components.criteria.gradient_magnitude import GradientMagnitude as GradientMagnitude
from secateur.components.criteria.magnitude import Magnitude as Magnitude
from secateur.components.criteria.movement import Movement as Movement
from secateur.components.criteria.random import Random as Random
from secateur.components.criteria.regrowth import Regrowth as Regrowth
from secateur.components.criteria.rigl import RigL as RigL
from secateur.components.criteria.saliency import Saliency as Saliency
from secateur.components.criteria.sparse_evolution import SparseEvolution as SparseEvolution
