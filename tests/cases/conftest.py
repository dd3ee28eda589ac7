"""What cases need of the other folders of tests."""

from tests.activities.conftest import extended as extended
from tests.activities.conftest import world as world
from tests.e2e.conftest import acme as acme
from tests.e2e.conftest import lab as lab
from tests.fabric.conftest import site as site
from tests.workflows.conftest import client as client
