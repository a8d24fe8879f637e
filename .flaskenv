# Lets `flask` find the app; settings and secrets belong into the environment or into .env.
FLASK_APP=wsgi:app
