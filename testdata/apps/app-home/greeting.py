TEXT = "Hello from app-home"
