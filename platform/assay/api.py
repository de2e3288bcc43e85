"""The API's addresses: each app brings its own `api_urls`, all below /api/."""

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.throttling import ScopedRateThrottle

from assay.common.api import StrictFields


class LoginSerializer(StrictFields, AuthTokenSerializer):
    pass


class Token(ObtainAuthToken):
    """`{username, password}` → `{token}`."""

    serializer_class = LoginSerializer
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "login"


urlpatterns = [
    path("auth/token/", Token.as_view(), name="api-token"),
    path("schema/", SpectacularAPIView.as_view(permission_classes=[]), name="api-schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="api-schema", permission_classes=[]), name="api-docs"),
    path("", include("ops.api_urls")),
    path("", include("ingest.api_urls")),
    path("", include("datasets.api_urls")),
    path("catalog/", include("catalog.api_urls")),
]
