"""The end of an account, with the wish that what it said be erased."""

from plexus.users import Users

from tests.support.house import V3, Person


async def erase(users: Users, person: Person) -> None:
    """``POST /account/deactivate`` with ``erase``. All rooms have been left when it answers."""
    await users.change_password(
        person.user_id, "wonderland", keep_device=person.device_id, logout_devices=False
    )
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": person.user_id},
        "password": "wonderland",
    }
    (await person.post(f"{V3}/account/deactivate", {"auth": auth, "erase": True})).ok()
