#!/bin/sh
# Synthesizes speech.wav and receipt.jpg beside this script: nobody's voice, nobody's photo.
# Made with espeak-ng 1.51, sox 14.4, ImageMagick 6.9 and the font Liberation Mono.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Speech: two voices that take turns in a small room, with pauses of different lengths and a faint hiss.
say() { # file, voice, pitch, words a minute, pause after it in seconds, text
  espeak-ng -v "$2" -p "$3" -s "$4" -g 1 -w raw.wav "$6"
  sox -R -D raw.wav -r 16000 -b 16 -c 1 "$1" silence 1 0.01 0.5% reverse silence 1 0.01 0.5% reverse \
    bass +3 treble -4 gain -n -4 pad 0 "$5"
}
say a.wav en-gb 40 155 0.6 'One copy of every model on the machine.'
say b.wav en-gb+f3 52 160 0.8 'Every part of the program shares it.'
say c.wav en-gb 36 150 0.5 'The event loop stays free.'
say d.wav en-gb+f3 56 150 0.5 'That is all there is.'
sox -R -D a.wav b.wav c.wav d.wav dry.wav pad 0.5 0
sox -R -D dry.wav room.wav gain -3 reverb 18 40 20
sox -R -D room.wav hiss.wav synth pinknoise gain -50
sox -R -D -m -v 1 room.wav -v 1 hiss.wav -b 16 "$here/speech.wav" gain -n -2

# Receipt: print, paper, table, and the camera.
ink='-background none -fill #34343a -font Liberation-Mono'
body='2024-01-17  09:42     Table 3

Flat white          2    7.60
Almond croissant    1    3.25
Sparkling water     1    2.10
-----------------------------
TOTAL                   12.95
Cash                    20.00
Change                   7.05'
convert $ink -pointsize 40 -strokewidth 0.6 -stroke '#34343a' 'label:COLOAD COFFEE' head.png
convert $ink -pointsize 29 -gravity center -interline-spacing 9 'label:14 Harbour Street\nReceipt No. 000471' address.png
convert $ink -pointsize 29 -interline-spacing 13 "label:$body" body.png
convert $ink -pointsize 29 -gravity center -interline-spacing 9 'label:Tell us: hello@coload.example\nThank you!' foot.png
convert -size 10x34 xc:none gap.png
convert -size 10x12 xc:none small_gap.png
convert -background none -gravity center head.png small_gap.png address.png gap.png body.png gap.png foot.png -append \
  -bordercolor none -border 32x80 -seed 5 \
  \( +clone -alpha off -fill gray -colorize 100 +noise Gaussian -blur 0x7 -auto-level +level 62%,100% \) \
  -compose DstIn -composite print.png
size=$(identify -format '%wx%h' print.png)
convert -size "$size" xc:'#f1eee6' -seed 6 \
  \( -size "$size" gradient: -function Sinusoid 2.6,35,0.05,0.93 \) -compose Multiply -composite \
  \( -size "$size" xc:gray50 -attenuate 0.5 +noise Gaussian -colorspace Gray -blur 0x1 \) -compose SoftLight -composite \
  print.png -compose Over -composite \
  -alpha set -background none -wave 4x1300 paper.png
convert paper.png -virtual-pixel transparent -background none \
  +distort Perspective '0,0 26,44  %w,0 %[fx:w-6],0  %w,%h %[fx:w+28],%[fx:h-8]  0,%h -8,%[fx:h+26]' +repage tilted.png
convert -seed 21 -size 720x1280 xc:gray50 +noise Random -colorspace Gray -motion-blur 0x90+84 -auto-level grain.png
convert -seed 22 -size 720x1280 plasma:gray40-gray60 -colorspace Gray -motion-blur 0x120+84 -blur 0x6 -auto-level \
  grain.png -compose Overlay -composite +level-colors '#4a301d','#b3855a' \
  -fill none -stroke '#20130a' -strokewidth 3 -draw 'line 118,0 -16,1280' -draw 'line 700,0 566,1280' -blur 0x0.8 table.png
convert table.png \
  \( tilted.png -gravity center -background none -extent 720x1280 -channel A -blur 0x14 -evaluate Multiply 0.75 +channel \
     -fill '#0c0704' -colorize 100 -roll +14+18 \) -compose Over -composite \
  tilted.png -gravity center -composite \
  \( -size 720x1280 radial-gradient:'#fffaf0-#908a86' -distort SRT '360,640 1.7 0 250,430' \) -compose Multiply -composite \
  -seed 23 -attenuate 0.14 +noise Gaussian -blur 0x0.6 -strip -sampling-factor 4:2:0 -quality 80 "$here/receipt.jpg"
