import pytest

import lionproc as lp


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LIONPROC_MODEL", "LIONPROC_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def model(server):
    return lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
