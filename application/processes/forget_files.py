"""Somebody is erased: so are the files that they uploaded, whether anything still shows them or not."""

from __future__ import annotations

from application.accounts.standing import ForgetFiles
from domain.accounts.events import AccountErased


def forget_files_of(event: AccountErased) -> list[ForgetFiles]:
    return [ForgetFiles(account_id=event.account_id)]
