"""Forty everyday sentences with their mood, written before any model was trained: none was changed after looking.

Film reviewers' sentences are all the model learns from; these ask whether it carries over to short plain speech about
other things, to negation ("not bad at all") and to contrast.
"""

POSITIVE = (
    "Not bad at all.",
    "I really enjoyed this.",
    "You won't regret buying it.",
    "The food was delicious and the staff were friendly.",
    "I can't wait to go back.",
    "It works perfectly, no problems so far.",
    "Couldn't be happier with my new phone.",
    "The best pizza I have ever had!",
    "Nothing to complain about.",
    "I was expecting the worst, but it turned out great.",
    "Arrived on time and well packed.",
    "Never had a better haircut.",
    "The room was small but very clean and cosy.",
    "Worth every penny.",
    "My kids love it.",
    "This book is hard to put down.",
    "I would recommend it to anyone.",
    "It's not perfect, but I love it anyway.",
    "What a lovely surprise!",
    "She explained everything clearly and patiently.",
)
NEGATIVE = (
    "I would not recommend it.",
    "This is not good.",
    "Never again.",
    "The food was cold and the waiter was rude.",
    "It broke after two days.",
    "I want my money back.",
    "Not worth the price.",
    "It doesn't work and nobody answers my emails.",
    "I expected more.",
    "The room smelled terrible and the bed was uncomfortable.",
    "I couldn't finish it, it was so boring.",
    "It looked great in the pictures, but the quality is poor.",
    "Waited two hours and nobody came.",
    "There is nothing good about this place.",
    "I wish I had bought something else.",
    "The battery barely lasts an hour.",
    "Hardly the best meal I have had.",
    "Save yourself the trouble and stay at home.",
    "Far too expensive for what you get.",
    "My order arrived late and half of it was missing.",
)
