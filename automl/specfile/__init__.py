"""Reading `space.yaml` into a checked `Spec`.

Reading imports neither torch nor the user's code, and trains nothing; a mistake is a SpecError with its place.
"""

from automl.specfile.reader import from_json, parse, read, schema
from automl.specfile.spec import Spec
from automl.specfile.yaml.complaint import Complaint, InvalidSpec

__all__ = ["Complaint", "InvalidSpec", "Spec", "from_json", "parse", "read", "schema"]
