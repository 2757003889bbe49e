"""Model cards."""


def question_answering_card(metrics):
    return "QA"


def sentiment_card(metrics):
    return "S"
