"""A notebook: everybody adds a line, and sees all of them."""

from django import forms
from django.shortcuts import redirect, render

from .models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["text"]


def notes(request):
    form = NoteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("notes")
    notes = Note.objects.order_by("id")
    return render(request, "notes/index.html", {"form": form, "notes": notes})
