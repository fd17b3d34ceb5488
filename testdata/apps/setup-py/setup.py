from setuptools import setup

setup(name="hello-project", version="1.2.3", packages=["hello_project"])
