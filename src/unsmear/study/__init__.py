"""A blind study: which of several models' restorations do people prefer?"""

from unsmear.study.answers import Answer, AnswerFile, read_answers
from unsmear.study.material import Photo, gather_photos, named_folders
from unsmear.study.preferences import Preference, Preferences, preferences, wilson_interval
from unsmear.study.questions import Question, ask
from unsmear.study.server import StudyServer

__all__ = [
    "Answer",
    "AnswerFile",
    "Photo",
    "Preference",
    "Preferences",
    "Question",
    "StudyServer",
    "ask",
    "gather_photos",
    "named_folders",
    "preferences",
    "read_answers",
    "wilson_interval",
]
