"""How good a network is and what it costs, measured as the papers do, beside its rivals."""

from unsmear.evaluation.comparison import Evaluation, compare, plan
from unsmear.evaluation.curve import draw_curve
from unsmear.evaluation.networks import NetworkRestorer
from unsmear.evaluation.quality import CONVENTIONS, Quality, as_written, measure
from unsmear.evaluation.report import make_report
from unsmear.evaluation.restorer import Answer, Decision, Restorer
from unsmear.evaluation.rivals import FunctionRestorer, load_rival
from unsmear.evaluation.run import Agreement, Cost, ImageFigures, Progress, Run, evaluate
from unsmear.evaluation.samples import Sample, Samples, open_pairs
from unsmear.evaluation.settings import Setting, Sweep, parse_sweep, stages_in_words, swept
from unsmear.evaluation.sheets import Sheet, as_csv, pictures_sheet, sheets

__all__ = [
    "CONVENTIONS",
    "Agreement",
    "Answer",
    "Cost",
    "Decision",
    "Evaluation",
    "FunctionRestorer",
    "ImageFigures",
    "NetworkRestorer",
    "Progress",
    "Quality",
    "Restorer",
    "Run",
    "Sample",
    "Samples",
    "Setting",
    "Sheet",
    "Sweep",
    "as_csv",
    "as_written",
    "compare",
    "draw_curve",
    "evaluate",
    "load_rival",
    "make_report",
    "measure",
    "open_pairs",
    "parse_sweep",
    "pictures_sheet",
    "plan",
    "sheets",
    "stages_in_words",
    "swept",
]
