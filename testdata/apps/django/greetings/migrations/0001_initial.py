from django.db import migrations, models


def greet(apps, schema_editor):
    apps.get_model("greetings", "Greeting").objects.create(text="Hello from django")


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Greeting",
            fields=[
                ("id", models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField()),
            ],
        ),
        migrations.RunPython(greet),
    ]
