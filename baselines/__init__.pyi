from .evaluation.calibration import calibrate as calibrate
from .evaluation.crossplay import crossplay as crossplay
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.evaluate import play as play
from .evaluation.exploit import exploit as exploit
from .heuristics.policies import POLICIES as POLICIES
from .heuristics.policies import make_policy as make_policy
from .validation.runner import validate as validate
