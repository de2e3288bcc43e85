from django.contrib.auth.forms import AuthenticationForm as AnyUser
from unfold.forms import AuthenticationForm


class LoginForm(AuthenticationForm):
    """Everybody who is active may log in; the admin's own form asks for staff."""

    def confirm_login_allowed(self, user) -> None:
        AnyUser.confirm_login_allowed(self, user)
