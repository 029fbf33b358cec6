"""`space.yaml` to a checked `Spec`. Reading imports neither torch nor the user's code; a mistake is a SpecError."""

from automl.specfile.reader import from_json, parse, read, schema
from automl.specfile.spec import Spec
from automl.specfile.yaml.complaint import Complaint, InvalidSpec

__all__ = ["Complaint", "InvalidSpec", "Spec", "from_json", "parse", "read", "schema"]
