from typing import ClassVar

from django.contrib.auth.forms import AuthenticationForm as AnyUser
from unfold.forms import AuthenticationForm


class LoginForm(AuthenticationForm):
    """Everybody who is active may log in; the admin's own form asks for staff, and speaks of it."""

    error_messages: ClassVar = AnyUser.error_messages

    def confirm_login_allowed(self, user) -> None:
        AnyUser.confirm_login_allowed(self, user)
