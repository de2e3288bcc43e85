"""For the admin: what a person writes there may name only what that person may see."""

from __future__ import annotations

from django import forms
from django.contrib.auth.models import AbstractBaseUser


class AuthoredForm(forms.ModelForm):
    user: AbstractBaseUser

    def _post_clean(self) -> None:
        """Django's hook before the model validates itself."""
        self.instance.author = self.user
        super()._post_clean()


class AuthoredAdmin:
    """Mixin for a ModelAdmin whose form is an `AuthoredForm`."""

    form = AuthoredForm

    def get_form(self, request, *args, **kwargs):
        form = super().get_form(request, *args, **kwargs)  # a class of its own for each request
        form.user = request.user
        return form
