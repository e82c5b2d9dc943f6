"""What the app's own components send, for tests of pages without a browser."""

import json

from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest


def component(page: AppTest, key: str):
    return next(element for element in page.get("bidi_component") if element.key == key).proto


def sent(page: AppTest, key: str, event: str, value) -> AppTest:
    """The page after a component of this key has sent an event."""
    states = page._tree.get_widget_states()
    said = json.dumps([{"event": event, "value": value}])
    states.widgets.append(WidgetState(id=f"$$STREAMLIT_INTERNAL_KEY_{component(page, key).id}__events", json_trigger_value=said))
    page._run(states)
    assert not page.exception, page.exception
    return page
