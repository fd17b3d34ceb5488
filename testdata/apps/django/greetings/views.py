from django.conf import settings
from django.http import HttpResponse

from .models import Greeting


def hello(request):
    """The text is there when `migrate` ran, the style when `collectstatic` did."""
    style = (settings.STATIC_ROOT / "greetings.css").read_text().strip()
    return HttpResponse(f"{Greeting.objects.get().text}, {style}\n", content_type="text/plain; charset=utf-8")
